module hyperderp/examples/go

go 1.21
