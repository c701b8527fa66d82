"""The web application: the live page, the REST interface and the stream behind them."""
