"""What is the same for every HTTP request, whatever it asks for."""
