"""Networks: plain torch modules that know tensors alone."""
