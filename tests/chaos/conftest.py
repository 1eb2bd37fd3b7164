def pytest_configure(config):
    config.addinivalue_line("markers", "chaos: kills processes of a whole stack for about a minute")
