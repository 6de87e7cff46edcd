// Begun in this commit; filled by the ones that follow.
