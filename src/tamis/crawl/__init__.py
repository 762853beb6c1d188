"""Crawling and downloading: from a source to pages, items, pictures and images, politely and without loss."""
