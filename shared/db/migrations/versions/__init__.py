"""One module a change, in order. A released one is never edited; what is wrong with it is mended by the next."""
