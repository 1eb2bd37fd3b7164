"""Files as tenants send them, and the text that is taken from them.

`inspection` looks at a file at the door, in the web process, and builds nothing of it. `child`
parses, in a process of its own with limits; `sandbox` starts it. `reading` is what happens in
between. Nothing that `child` imports may import Django.
"""
