"""Attributes from the words of titles and descriptions: tokens, rules, mining, and help in finding rules."""
