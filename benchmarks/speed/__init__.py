"""How fast gradients are checked, on seven workloads, beside other packages and plain loops."""
