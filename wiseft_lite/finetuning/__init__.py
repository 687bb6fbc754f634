"""Other ways to fine-tune a CLIP model: LoRA, prompt learning, contrastive fine-tuning."""
