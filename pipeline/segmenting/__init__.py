"""What segmentation is made of: turns and their files, the telling apart of voices, a picture of a timeline."""
