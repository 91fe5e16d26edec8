"""Does a finding name the mistake? Faults planted in the backward code of many models, and models without faults."""
