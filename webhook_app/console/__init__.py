"""The console: what people see of alerts and runs in a browser, and do about them."""
