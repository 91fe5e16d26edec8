"""Where the numbers of an audit are kept. The only importer of zarr and xarray."""
