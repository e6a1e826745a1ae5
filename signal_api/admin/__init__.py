"""The admin API: what back ends may see and do, by keys of their own."""
