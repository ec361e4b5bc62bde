"""Does. The only room with OS threads or await: carries out what the engine decides, on what storage keeps."""
