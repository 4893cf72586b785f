module crackseg.io/local/pause

go 1.24.0
