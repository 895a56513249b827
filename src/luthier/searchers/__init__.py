"""searchers: who proposes the next configuration. Each file is one searcher, its file name the public name."""
