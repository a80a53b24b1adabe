SECRET_KEY = "for tests only"
DATABASES = {}
INSTALLED_APPS = []
USE_TZ = True
DEFAULT_FROM_EMAIL = "shop@example.org"
