"""The files that the ERP, a spreadsheet or a ledger of plain text reads."""
