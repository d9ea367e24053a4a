"""How values of chains are shown to people: amounts in units of their asset, links to explorers."""
