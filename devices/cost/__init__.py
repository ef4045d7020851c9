"""What a call costs: operators against the machine's peak, and memory part by part."""
