"""Further views of the links: tables `links_NAME`, which no instruction repeats."""

import numpy as np
import pyarrow as pa

from mimicit.columns import places_in
from mimicit.gate.files import Findings
from mimicit.gate.references import (
    ADDED,
    WINDOW_ROWS,
    Instructions,
    Window,
    check_contexts,
    flat,
    windows,
)
from mimicit.gate.rows import fitting
from mimicit.tables import is_view


def check_views(findings: Findings, known: Instructions) -> None:
    """Check the links of every further view against the instructions."""
    for table in sorted(filter(is_view, findings.shards)):
        seen = np.zeros(len(known.counts), bool)
        for rows in windows(fitting(findings, table), max(WINDOW_ROWS, len(known.ids) // 2)):
            window = Window(rows)
            queries = pa.concat_arrays([one.batch.column("query_id") for one in rows])
            own = places_in(known.ids, queries.view(pa.binary()))
            for row in np.flatnonzero(own < 0).tolist():
                window.add(findings, row, "query_id is not in the instructions table")
            first = np.zeros(len(own), bool)
            first[np.unique(own, return_index=True)[1]] = True
            for row in np.flatnonzero((own >= 0) & (seen[own] | ~first)).tolist():
                window.add(findings, row, "has more than one row")
            seen[own[own >= 0]] = True
            names, counts = flat(rows, "context_ids")
            found = places_in(known.ids, names.view(pa.binary()))
            owners = np.repeat(np.arange(len(own)), counts)
            check_contexts(findings, window, known, own, owners, names, found)
            for added in ADDED:
                for row in np.flatnonzero(flat(rows, added)[1] != counts).tolist():
                    window.add(findings, row, f"contexts and {added} differ in number")
