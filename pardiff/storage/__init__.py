"""The numbers of an audit, in memory or in a store. The only importer of zarr and xarray."""
