"""mpsync: keeps Maintenance Pro Web, MPservices and the ERP in step."""
