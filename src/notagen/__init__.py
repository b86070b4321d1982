"""NotaGen: train, align and play a language model of sheet music in ABC notation."""
