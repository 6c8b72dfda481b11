"""The tabs of the page, a class each."""
