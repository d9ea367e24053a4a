"""The page for people, under ``/ui/``: see what is wrong, and act. It works without JavaScript, and is live with it."""
