"""The methods: the papers' and the baselines they are compared with."""
