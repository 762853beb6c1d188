"""The engine: what a stage is, what is pending, who computes, and the one writer."""
