"""The journal: balanced double entries derived from the ledger, and what the ERP is given of them."""
