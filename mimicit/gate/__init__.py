"""What `mimicit validate` checks: files, rows, pictures, and what refers to what.

Everything is checked by the column; a row is looked at by itself only to say what is wrong with it.
"""
