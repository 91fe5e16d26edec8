"""Where audits are kept: folders of a file system, and prefixes of an object store."""
