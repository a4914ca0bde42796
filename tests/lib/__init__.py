# SPDX-License-Identifier: Apache-2.0
"""What tests/run consists of."""
