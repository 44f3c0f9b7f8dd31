"""What `driver.py` measures: molecular dynamics of one network run in many ways."""
