"""The proof that tenants are isolated: `manage.py prove_isolation`.

proof.py    the whole of it, pass by pass
world.py    two tenants with one of everything; what is whose
routes.py   every route, what its ids are, why it is public
callers.py  everybody who may call: roles, keys, the revoked, the suspended, staff, nobody
doors.py    how a request gets in: in this process or over the network; walls taken away
over_http.py, in_sql.py   the two halves
report.py   checks counted, leaks kept
"""
