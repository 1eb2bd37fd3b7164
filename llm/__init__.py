"""Guideline text in; a summary and a checklist that can be traced back, out. No Django here."""
