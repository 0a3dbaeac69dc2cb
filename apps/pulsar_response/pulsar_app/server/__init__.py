"""What stands between the network and MONAI Label: `guard.secure` puts it there."""
