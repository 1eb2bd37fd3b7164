"""Django REST framework, simplejwt, guardian and Celery, put together as their documents show."""
