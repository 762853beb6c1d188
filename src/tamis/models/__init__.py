"""Networks behind one protocol a kind; heavy libraries are imported only when a model is opened."""
