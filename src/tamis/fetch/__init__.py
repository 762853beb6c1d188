"""`tamis fetch`: a list of URLs to pictures in a folder, outside any project, fast and resumable.

One process reads the list, deals the work out and is the only one to write the folder's state; worker processes ask
the web, and write pictures. What the state says is there, is there whole; what it does not say is asked for again.
"""
