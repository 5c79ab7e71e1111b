"""The web page of `ghostless serve`, and the JSON API under it.

serve.py      settings to a running server
app.py        the routes
guard.py      which requests are let in: hosts, origins, sizes; and the headers of what goes out
limits.py     how much of everything
requests.py   what a request may ask for, made from the settings of the library
storage.py    the private folder: photos and results, removed after a time and at exit
jobs.py       the queue: what waits, what runs, what it may take
processes.py  worker processes as the server sees them
worker.py     a worker process as it sees itself: the only one that touches pixels
views.py      pictures for the screen: previews, tiles, layers
static/       the page: plain files, nothing to build, nothing fetched from elsewhere
"""
