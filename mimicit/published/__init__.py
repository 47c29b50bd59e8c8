"""MIMIC-IT's published form, as files that strangers have: found, read, and judged by its rules.

Formats as https://github.com/Luodian/Otter publishes them and its loader reads them
(`pipeline/mimicit_utils/mimicit_dataset.py`): `X_instructions.json`, pictures as base64 in Parquet
or JSON, and `X_train.json` with the examples that were trained on. `mimicit.gate.published` says
what is wrong with them; `mimicit.importers` brings them in.
"""
