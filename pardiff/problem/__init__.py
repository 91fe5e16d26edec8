"""What is differentiated: parameters, problems, targets, job files. Imports only ``pardiff.errors``."""
