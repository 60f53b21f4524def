"""Files as people have them: text of several encodings, workbooks, JSON; found out, never guessed."""
