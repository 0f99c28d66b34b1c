"""Reaching servers: sessions with limits, the one retry policy, proxies and certificates, addresses that may be asked.

Everything that fetches takes its session from here; nothing here knows what is fetched.
"""
