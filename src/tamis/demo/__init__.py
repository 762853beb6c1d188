"""The embedded market place: drawn cars, a small web site that lists them, and the known truth about both."""
