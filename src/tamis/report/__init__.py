"""Reports: one self-contained HTML page each, with figures, that asks no server for anything."""
