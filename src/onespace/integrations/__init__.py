"""onespace inside other libraries: a module each, importing its library only when it is used."""
