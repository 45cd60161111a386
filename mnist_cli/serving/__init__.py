"""The service: `mnist predict` over HTTP, and a page to draw on. Needs the extra `serve`."""
