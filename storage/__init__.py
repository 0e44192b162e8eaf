"""The results database: vocabulary, records, tables, and the functions that read and write them."""
